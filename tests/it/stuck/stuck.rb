# A script for cron: if a job has run for longer than THRESHOLD seconds, name it and stop all
# workers, for their supervisor to start fresh ones. Written against Sidekiq's API alone.
require "sidekiq/api"

threshold = Integer(ENV.fetch("THRESHOLD"))
stuck = false

Sidekiq::Workers.new.each do |process_id, thread_id, work|
  next unless Time.now.to_i - work["run_at"] > threshold
  stuck = true
  job = work["payload"]
  puts "#{process_id} #{thread_id}: #{job["class"]} #{job["jid"]} on #{work["queue"]}"
end

Sidekiq::ProcessSet.new.each(&:stop!) if stuck
