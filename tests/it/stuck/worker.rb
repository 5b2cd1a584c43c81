# A Ruby worker's job that hangs.
require "sidekiq"

class Hang
  include Sidekiq::Worker

  def perform(_secret)
    sleep
  end
end
