-- Rules for tests: the subject names the action, and a header tells what rspamd has been told of the mail.

local sha256 = require "rspamd_cryptobox_hash"

local actions = {
  later = { 'soft reject', 'Ask again in an hour' },
  grey = { 'greylist', 'Greylisted by rspamd' },
  mark = { 'add header' },
  rename = { 'rewrite subject' },
}

local function act(task)
  local action = actions[task:get_subject() or '']
  if action then
    task:set_pre_result(action[1], action[2])
    task:set_metric_subject('Größe')
  end
end

local function address(list)
  local found = {}
  for _, one in ipairs(list or {}) do
    found[#found + 1] = '<' .. one.addr .. '>'
  end
  return table.concat(found, ',')
end

local function tell(task)
  local facts = {
    'from=' .. address(task:get_from('smtp')),
    'to=' .. address(task:get_recipients('smtp')),
    'ip=' .. tostring(task:get_from_ip()),
    'helo=' .. (task:get_helo() or '-'),
    'host=' .. (task:get_hostname() or '-'),
    'user=' .. (task:get_user() or '-'),
    'queue=' .. (task:get_queue_id() or '-'),
    'sha256=' .. sha256.create_specific('sha256', task:get_content()):hex(),
  }
  task:set_milter_reply({
    add_headers = {
      ['X-Facts'] = table.concat(facts, ';\n\t'),
      ['X-Twice'] = { { value = 'first', order = 0 }, { value = 'last', order = -1 } },
    },
    remove_headers = { ['X-Gone'] = 0, ['X-Second'] = 2 },
  })
end

rspamd_config:register_symbol({ name = 'ACT', type = 'prefilter', callback = act })
rspamd_config:register_symbol({ name = 'TELL', type = 'idempotent', callback = tell })
