-- The log hook: posts what became of mail to remediator's exporter, in batches, without the names of recipients.
--
-- A post that is refused for good (4xx) is given up: the same record would be refused again. Whatever passes (5xx, no answer)
-- is tried again, and the exporter counts a record that comes twice once.
local kumo = require 'kumo'
local log_hooks = require 'policy-extras.log_hooks'

local mod = {}

-- What the exporter reads. Everything else, such as whole reports and the reader's address, stays here.
local function slim(record)
  local report = record.feedback_report
  return {
    type = record.type,
    id = record.id,
    timestamp = record.timestamp,
    num_attempts = record.num_attempts,
    sender = record.sender,
    recipient = record.recipient and record.recipient:gsub('^.*@', 'someone@') or nil,
    queue = record.queue,
    egress_source = record.egress_source,
    bounce_classification = record.bounce_classification,
    reception_protocol = record.reception_protocol,
    meta = record.meta,
    response = record.response and { content = record.response.content } or nil,
    feedback_report = report and {
      feedback_type = report.feedback_type,
      original_mail_from = report.original_mail_from,
      reported_domain = report.reported_domain,
      source_ip = report.source_ip,
      supplemental_trace = report.supplemental_trace,
    } or nil,
  }
end

function mod:setup(url, token_file)
  log_hooks:new {
    name = 'outcomes',
    batch_size = 200,
    log_parameters = {
      meta = { 'tenant', 'campaign' },
      per_record = {
        Delivery = {},
        Bounce = {},
        TransientFailure = {},
        Expiration = {},
        Feedback = {},
        OOB = {},
        Any = { enable = false },
      },
    },
    queue_config = { retry_interval = '30s', max_retry_interval = '5m', max_age = '1 day' },
    constructor = function()
      local connection = {}
      local client = kumo.http.build_client { timeout = '10s' }

      function connection:send_batch(messages)
        local records = {}
        for _, message in ipairs(messages) do
          table.insert(records, slim(kumo.serde.json_parse(message:get_data())))
        end
        local token = kumo.secrets.load(token_file):gsub('%s+$', '')
        local response = client
          :post(url)
          :header('Content-Type', 'application/json')
          :bearer_auth(token)
          :body(kumo.serde.json_encode(records))
          :send()
        local said = string.format('%d %s', response:status_code(), response:status_reason())
        if response:status_is_success() then
          return said
        end
        if response:status_code() >= 400 and response:status_code() < 500 then
          kumo.reject(550, said)
        end
        kumo.reject(451, said)
      end

      function connection:close()
        client:close()
      end

      return connection
    end,
  }
end

return mod
