-- kumod's policy in the compose site: takes mail for relay, delivers it, and lets remediator, Prometheus and the exporter work.
local kumo = require 'kumo'
local shaping = require 'policy-extras.shaping'
local outcomes = require 'policy.outcomes'

-- docker-compose.yml gives these two their addresses. Whoever is named here may suspend and bounce mail: name nobody else.
local TRUSTED = { '127.0.0.1', '::1', '172.31.97.10', '172.31.97.11' }
-- Who may hand in mail. Add the addresses of your applications.
local RELAY = { '127.0.0.1', '172.31.97.0/24' }

kumo.on('init', function()
  kumo.define_spool { name = 'data', path = '/var/spool/kumomta/data', kind = 'RocksDB' }
  kumo.define_spool { name = 'meta', path = '/var/spool/kumomta/meta', kind = 'RocksDB' }
  kumo.configure_local_logs { log_dir = '/var/log/kumomta', max_segment_duration = '1 minute' }
  kumo.configure_bounce_classifier { files = { '/opt/kumomta/share/bounce_classifier/iana.toml' } }
  kumo.start_http_listener { listen = '0.0.0.0:8000', trusted_hosts = TRUSTED }
  kumo.start_esmtp_listener {
    listen = '0.0.0.0:25',
    relay_hosts = RELAY,
    -- tenant and campaign travel with the mail, so that complaints and late bounces can be counted under them
    trace_headers = { include_meta_names = { 'tenant', 'campaign' } },
  }
end)

-- Must come before get_queue_config below, which takes every queue that the hook leaves to it.
outcomes:setup('http://kumo-exporter:9925/api/v1/log-records', '/run/secrets/hook-token')

-- The domains that reports come back to: bounces and complaints are logged, not relayed. Name your own here.
kumo.on('get_listener_domain', function(domain)
  if domain == 'bounces.example.com' then
    return kumo.make_listener_domain { log_oob = 'LogThenDrop', log_arf = 'LogThenDrop' }
  end
end)

-- Tenant and campaign are what applications write into these headers; queues, suspensions and outcomes go by them.
kumo.on('smtp_server_message_received', function(msg)
  for name, header in pairs { tenant = 'X-Tenant', campaign = 'X-Campaign' } do
    local value = msg:get_first_named_header_value(header)
    if value then
      msg:set_meta(name, value)
    end
  end
  msg:remove_x_headers { 'x-tenant', 'x-campaign' }
end)

-- One source for each sending address; an address must belong to this container, or stand behind a proxy.
kumo.on('get_egress_source', function(name)
  return kumo.make_egress_source { name = name }
end)

kumo.on('get_egress_pool', function(name)
  return kumo.make_egress_pool { name = name, entries = { { name = 'ip-1' } } }
end)

kumo.on('get_queue_config', function()
  return kumo.make_queue_config { egress_pool = 'pool-1', max_age = '3 days', retry_interval = '10m', max_retry_interval = '4h' }
end)

-- kumod's own defaults first, then the file that remediator may edit; it is read again within a minute.
local shaper = shaping:setup_with_automation {
  publish = {},
  subscribe = {},
  extra_files = { '/opt/kumomta/etc/shaping/shaping.toml' },
}
kumo.on('get_egress_path_config', shaper.get_egress_path_config)
