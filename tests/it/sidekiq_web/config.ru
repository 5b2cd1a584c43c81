# Sidekiq's own pages, and nothing else, for the Redis that REDIS_URL names.
require "securerandom"
require "sidekiq/web"

Sidekiq.configure_client { |config| config.redis = { url: ENV.fetch("REDIS_URL") } }
use Rack::Session::Cookie, secret: SecureRandom.hex(32)
run Sidekiq::Web
