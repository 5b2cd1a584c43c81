# What Sidekiq's API says, and the changes it makes.

require_relative "calls"

SETS = {
  "retry" => Sidekiq::RetrySet, "dead" => Sidekiq::DeadSet, "schedule" => Sidekiq::ScheduledSet
}

def stats
  now = Sidekiq::Stats.new
  names = %w[processed failed scheduled_size retry_size dead_size enqueued processes_size
    workers_size default_queue_latency queues]
  today = Sidekiq::Stats::History.new(1)
  names.to_h { |name| [name, now.public_send(name)] }
    .merge("history" => [today.processed.values, today.failed.values])
end

def job(record)
  {
    "class" => record.display_class, "args" => record.display_args, "jid" => record.jid,
    "queue" => record.queue, "tags" => record.tags, "created_at" => record.created_at.to_f,
    "enqueued_at" => record.enqueued_at&.to_f, "latency" => record.latency
  }
end

def queue(name)
  queue = Sidekiq::Queue.new(name)
  {"size" => queue.size, "latency" => queue.latency, "jobs" => queue.map { |record| job(record) }}
end

def queues
  Sidekiq::Queue.all.map(&:name)
end

def find_in_queue(name, jid)
  record = Sidekiq::Queue.new(name).find_job(jid)
  record && job(record)
end

def delete_from_queue(name, jid)
  Sidekiq::Queue.new(name).find_job(jid).delete
end

def clear_queue(name)
  Sidekiq::Queue.new(name).clear
  queues
end

def entry(record)
  job(record).merge(
    "at" => record.at.to_f, "score" => record.score, "error?" => record.error?,
    "error_class" => record["error_class"], "error_message" => record["error_message"],
    "error_backtrace" => record.error_backtrace, "retry_count" => record["retry_count"],
    "failed_at" => record["failed_at"], "retried_at" => record["retried_at"]
  )
end

def entries(set)
  {"size" => SETS[set].new.size, "entries" => SETS[set].new.map { |record| entry(record) }}
end

def find(set, jid)
  SETS[set].new.find_job(jid)&.then { |record| entry(record) }
end

def scan(set, text)
  SETS[set].new.scan(text).map(&:jid)
end

def change(set, jid, what, *arguments)
  SETS[set].new.find_job(jid).public_send(what, *arguments)
  nil
end

def change_all(set, what)
  SETS[set].new.public_send(what)
  SETS[set].new.size
end

# Whether the bytes of every entry are those that Ruby would write.
def restless
  SETS.keys.flat_map { |set|
    SETS[set].new.map(&:value).reject { |raw| Sidekiq.dump_json(Sidekiq.load_json(raw)) == raw }
  }
end

def bytes_differ(texts)
  texts.reject { |text| JSON.generate(JSON.parse(text)) == text }
end

def processes
  set = Sidekiq::ProcessSet.new
  {
    "size" => set.size, "leader" => set.leader, "total_concurrency" => set.total_concurrency,
    "total_rss" => set.total_rss,
    "each" => set.map { |process|
      names = %w[hostname started_at pid concurrency busy beat quiet rss rtt_us version]
      names.to_h { |name| [name, process[name]] }.merge(
        "identity" => process.identity, "tag" => process.tag, "labels" => process.labels,
        "queues" => process.queues, "stopping?" => process.stopping?
      )
    }
  }
end

def workers
  workers = Sidekiq::Workers.new
  {
    "size" => workers.size,
    "each" => workers.map { |process, thread, work| [process, thread, work] }
  }
end

def command(what)
  Sidekiq::ProcessSet.new.each(&what.to_sym)
  nil
end

answer_calls
