# A session with a test: one call a line, [name, argument, ...], and one line with its answer.

require "json"
require "logger"
require "sidekiq"
require "sidekiq/api"

Sidekiq.logger = Logger.new($stderr)
$stdout.sync = true

def answer_calls
  $stdin.each_line do |line|
    name, *arguments = JSON.parse(line)
    answer =
      begin
        {"ok" => send(name, *arguments)}
      rescue => error
        {"error" => "#{name}: #{error.class}: #{error.message} #{error.backtrace.first(3)}"}
      end
    puts JSON.generate(answer)
  end
end
