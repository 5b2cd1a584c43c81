# What the sidekiq-cron gem makes of our lines, and what its pages and its poller do to them.

require_relative "calls"
require "sidekiq-cron"
require "sidekiq/cron/poller"

OURS = "roustabout"
Sidekiq::Cron.configure { |config| config.available_namespaces = ["default", OURS] }

def lines
  Sidekiq::Cron::Job.all(OURS).sort_by(&:name).map { |job|
    names = %w[name namespace cron klass args source status enabled? valid? queue_name_with_prefix]
    names.to_h { |name| [name, job.public_send(name)] }.merge(
      "last" => job.last_enqueue_time&.to_i, "history" => job.jid_history_from_redis
    )
  }
end

# As the buttons: enable!, disable!, enqueue!, destroy.
def press(button, name)
  Sidekiq::Cron::Job.find(name, OURS).public_send(button)
  nil
end

def poll
  Sidekiq::Cron::Poller.new(Sidekiq).enqueue
end

# As at the boot of a process with a schedule file.
def load_schedule(lines)
  Sidekiq::Cron::Job.load_from_hash!(lines, source: "schedule")
end

def all
  Sidekiq::Cron::Job.all("*").map { |job| [job.namespace, job.name] }.sort
end

answer_calls
