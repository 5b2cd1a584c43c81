# The jobs of the Sidekiq workers that the tests start.

require "sidekiq"
require "active_job"

ActiveJob::Base.queue_adapter = :sidekiq
ActiveJob::Base.logger = Logger.new($stderr)
Sidekiq.options[:poll_interval_average] = 1

def diary(line)
  Sidekiq.redis { |redis| redis.rpush("test:diary", line) }
end

# Notes that it ran; its name comes as the only argument or as a named one.
class Note
  include Sidekiq::Worker

  def perform(name)
    diary(name.is_a?(Hash) ? name["name"] : name)
  end
end

# Notes its arguments as they came.
class Exact
  include Sidekiq::Worker

  def perform(*arguments)
    diary(JSON.generate(arguments))
  end
end

# Fails, in the first of two processes that get it.
class Handover
  include Sidekiq::Worker

  def perform(to)
    raise ArgumentError, "not in Ruby" unless (to.is_a?(Hash) ? to["to"] : to) == "ruby"
    diary("handover in ruby")
  end
end

class Boom
  include Sidekiq::Worker

  def perform(*)
    raise "boom"
  end
end

class Letter < ActiveJob::Base
  def perform(number, options, greeting:, copies: [])
    diary(JSON.generate([number, options, greeting, copies, queue_name]))
  end
end

class Postcard < ActiveJob::Base
  def perform(options)
    diary(JSON.generate([options.keys.map(&:class).map(&:name), options]))
  end
end
