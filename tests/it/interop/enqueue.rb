# Every way in which an application in Ruby enqueues.

require_relative "calls"
require "active_job"
require "active_support/core_ext/integer/time"
require "globalid"

ActiveJob::Base.queue_adapter = :sidekiq
ActiveJob::Base.logger = Logger.new($stderr)
GlobalID.app = "shop"

class Greeting
  include Sidekiq::Worker
  sidekiq_options queue: "default", retry: 3, tags: ["polite"]
end

class Invoice < ActiveJob::Base
end

class Mixed < ActiveJob::Base
end

module Unheard
  class Of < ActiveJob::Base
  end
end

# A record, as far as Active Job wants to know.
class User
  include GlobalID::Identification
  attr_reader :id

  def initialize(id)
    @id = id
  end
end

def plain
  [
    Sidekiq::Client.push("class" => "Greeting", "args" => ["push", 1]),
    Sidekiq::Client.push("class" => "Greeting", "args" => [{"name" => "named", "times" => 2}]),
    Sidekiq::Client.push("class" => Greeting, "args" => ["other queue", 3], "queue" => "other"),
    Greeting.perform_async("async", 4),
    Greeting.perform_async({"times" => 5, "name" => "async named"}),
    Greeting.perform_in(0.3, "in", 6),
    Greeting.perform_at(Time.now + 0.3, "at", 7),
    Greeting.perform_at(Time.now - 9, "past", 8),
    Greeting.set(queue: "other").perform_async("set", 9),
    Sidekiq::Client.enqueue_to("other", Greeting, "enqueue_to", 10),
    Sidekiq::Client.enqueue_in(0.3, Greeting, "enqueue_in", 11)
  ]
end

def bulk(count)
  jobs = (1..count).map { |n| ["bulk", n] }
  Sidekiq::Client.push_bulk("class" => Greeting, "args" => jobs).size +
    Greeting.perform_bulk([["perform_bulk", 1], ["perform_bulk", 2]]).size +
    Sidekiq::Client.push_bulk("class" => Greeting, "args" => [["later", 1], ["later", 2]],
      "at" => [Time.now.to_f + 0.2, Time.now.to_f + 0.4]).size
end

def active_jobs
  day = Time.utc(2026, 11, 22)
  Invoice.perform_later(1, "positional")
  Invoice.perform_later(number: 2, to: "keywords")
  Invoice.perform_later({"number" => 3, "to" => "a hash"})
  Invoice.perform_later(number: 4, to: User.new(7))
  Invoice.perform_later(number: 5, to: "nested", more: {at: day, on: day.to_date, list: [{kind: :symbol}], wait: 3.minutes})
  Invoice.perform_later(number: 6, to: "indifferent", more: {a: 1}.with_indifferent_access)
  Invoice.set(queue: "other", wait: 0.3).perform_later(7, "later, elsewhere")
  Mixed.perform_later(9, to: "both")
  nil
end

def failing_active_job
  Invoice.perform_later("no number", "x")
  Unheard::Of.perform_later(1)
  nil
end

# Which of these the client refuses.
def refused(items)
  items.map do |item|
    Sidekiq::Client.push(item)
    false
  rescue ArgumentError
    true
  end
end

answer_calls
