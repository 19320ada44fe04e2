# Let a user, or a client that has not logged in, write to only so many recipients in an hour: a stolen password, or a
# web form that went wild, then does little harm. More are put off, not refused: mail servers try again.
#
#     ruby webhook_examples/rate_limit.rb [PORT]

require "ipaddr"
require "json"
require "webrick" # Debian: ruby-webrick

USER_LIMIT = 200
CLIENT_LIMIT = 60
MOST_BUCKETS = 100_000 # the memory has an end; beyond it, those who were silent for longest are forgotten

Bucket = Struct.new(:level, :time) # each recipient fills it a little, it drains all the time
BUCKETS = {} # ordered: the latest at the end
LOCK = Mutex.new # WEBrick has a thread for each connection

def rcpt(call)
  user = call.dig("auth", "user")
  return {} unless user || call.dig("client", "port") # a program on this machine has no TCP port

  who, limit = user ? [user, USER_LIMIT] : [network(call["client"]), CLIENT_LIMIT]
  level = add(who, limit, call["dry_run"])
  return { annotations: { recipients_this_hour: level.ceil } } if level <= limit

  reply = { code: 450, enhanced: "4.7.1", text: "Too many recipients in this hour, please try again later" }
  { action: "tempfail", reply: reply, annotations: { too_many_of: who } }
end

# Whoever has one IPv6 address has 2**64 of them.
def network(client)
  IPAddr.new(client["address"]).mask(client["family"] == "inet6" ? 64 : 32).to_s
end

def add(who, limit, dry_run)
  LOCK.synchronize do
    now = Process.clock_gettime(Process::CLOCK_MONOTONIC)
    bucket = BUCKETS.delete(who) || Bucket.new(0.0, now)
    drained = (now - bucket.time) * limit / 3600
    level = [bucket.level - drained, 0.0].max
    counts = !dry_run && level + 1 <= limit # who is put off does not wait the longer for trying again
    BUCKETS[who] = Bucket.new(counts ? level + 1 : level, now)
    BUCKETS.shift if BUCKETS.size > MOST_BUCKETS
    level + 1
  end
end

OPTIONS = {
  BindAddress: "127.0.0.1", Port: (ARGV[0] || 8000).to_i, MaxClients: 1000, AccessLog: [],
  StartCallback: -> { warn "listening on http://127.0.0.1:#{SERVER.listeners[0].addr[1]}/milter" },
  AcceptCallback: ->(socket) { socket.setsockopt(:TCP, :NODELAY, true) } # or each answer waits 40 ms
}
SERVER = WEBrick::HTTPServer.new(OPTIONS)
SERVER.mount_proc("/") do |request, response| # an error becomes a 500, and the gateway puts the mail off
  response.content_type = "application/json"
  response.body = JSON.generate(rcpt(JSON.parse(request.body)))
end
%w[INT TERM].each { |signal| trap(signal) { SERVER.shutdown } }
SERVER.start
