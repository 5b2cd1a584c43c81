# A Sidekiq that drains no-op jobs, measured as `examples/load` measures us: from the first start to
# the last. `bin/bench` runs it; both roles are in this file.
#
#   ruby sidekiq.rb push N BYTES        fills the queue
#   sidekiq -r ./sidekiq.rb -c C        drains it; prints jobs per second and leaves
require "sidekiq"
require "json"

Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
Sidekiq.configure_server { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
Sidekiq.logger.level = Logger::WARN
Redis.silence_deprecations = true if Redis.respond_to?(:silence_deprecations=)

# Does nothing, and counts.
class BenchNoop
  include Sidekiq::Worker

  @lock = Mutex.new
  @started = 0

  def self.note(wanted)
    @lock.synchronize do
      @first ||= Process.clock_gettime(Process::CLOCK_MONOTONIC)
      @started += 1
      return if @started < wanted

      seconds = Process.clock_gettime(Process::CLOCK_MONOTONIC) - @first
      $stdout.puts JSON.generate(jobs: @started, jobs_per_s: @started / seconds)
      $stdout.flush
      Process.kill("TERM", Process.pid)
    end
  end

  def perform(_padding)
    self.class.note(Integer(ENV.fetch("BENCH_JOBS")))
  end
end

if ARGV[0] == "push"
  jobs, size = ARGV[1, 2].map { |word| Integer(word) }
  padding = "x" * [size - 150, 0].max
  jobs.times.each_slice(1_000) do |slice|
    Sidekiq::Client.push_bulk("class" => BenchNoop, "args" => slice.map { [padding] })
  end
end
