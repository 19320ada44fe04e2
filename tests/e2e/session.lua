-- A whole session with the gateway, played by miltertest: a refused recipient, changes, a refused message, an abort.
-- PORT is where the gateway listens. Its backend refuses eve@site.example, and a Subject that begins with "refuse";
-- it adds X-New, changes X-Tag, deletes X-Old, adds joe@site.example and holds the message.

-- miltertest ends with 1 where a script fails, but does not say why.
local function fail(text)
	mt.echo(text)
	error(text)
end

local function must(failure, what)
	if failure ~= nil then
		fail(what .. " failed: " .. tostring(failure))
	end
end

local function replied(expected, what)
	local reply = mt.getreply(conn)
	if reply ~= expected then
		fail(what .. " was answered with " .. string.char(reply) .. ", not " .. string.char(expected))
	end
end

local function check(truth, what)
	if not truth then
		fail("not seen: " .. what)
	end
end

local function envelope(id)
	must(mt.macro(conn, SMFIC_MAIL, "i", id), "macro")
	must(mt.mailfrom(conn, "<ann@client.example>", "SIZE=100"), "mailfrom")
	replied(SMFIR_CONTINUE, "MAIL")
	must(mt.rcptto(conn, "<bob@site.example>"), "rcptto")
	replied(SMFIR_CONTINUE, "RCPT")
end

local function content(subject)
	must(mt.data(conn), "data")
	replied(SMFIR_CONTINUE, "DATA")
	for _, field in ipairs({{"Subject", subject}, {"X-Tag", "old"}, {"X-Old", "gone"}}) do
		must(mt.header(conn, field[1], field[2]), "header") -- it puts the agreed leading space before the value
		replied(SMFIR_CONTINUE, field[1])
	end
	must(mt.eoh(conn), "eoh")
	replied(SMFIR_CONTINUE, "EOH")
	must(mt.bodystring(conn, "one\r\n"), "bodystring")
	replied(SMFIR_CONTINUE, "BODY")
	must(mt.bodystring(conn, "two\r\n"), "bodystring")
	replied(SMFIR_CONTINUE, "BODY")
	must(mt.eom(conn), "eom")
end

conn = mt.connect("inet:" .. PORT .. "@127.0.0.1")
check(conn ~= nil, "a connection")
must(mt.negotiate(conn, nil, nil, nil), "negotiate")
check(mt.test_action(conn, SMFIF_ADDHDRS), "the action ADDHDRS")
check(mt.test_action(conn, SMFIF_QUARANTINE), "the action QUARANTINE")
check(not mt.test_option(conn, SMFIP_NORCPT), "RCPT")

must(mt.conninfo(conn, "client.example", "192.0.2.25"), "conninfo")
replied(SMFIR_CONTINUE, "CONNECT")
must(mt.helo(conn, "client.example"), "helo")
replied(SMFIR_CONTINUE, "HELO")
must(mt.unknown(conn, "FOO bar"), "unknown")
replied(SMFIR_CONTINUE, "UNKNOWN")

envelope("first")
must(mt.rcptto(conn, "<eve@site.example>"), "rcptto")
replied(SMFIR_REPLYCODE, "RCPT of eve")
content("change me")
replied(SMFIR_ACCEPT, "EOM")
check(mt.eom_check(conn, MT_HDRADD, "X-New", " v"), "X-New")
check(mt.eom_check(conn, MT_HDRCHANGE, "X-Tag", " new"), "X-Tag changed")
check(mt.eom_check(conn, MT_HDRDELETE, "X-Old"), "X-Old deleted")
check(not mt.eom_check(conn, MT_HDRDELETE, "X-Tag"), "X-Tag there")
check(mt.eom_check(conn, MT_RCPTADD, "<joe@site.example>"), "joe added")
check(mt.eom_check(conn, MT_BODYCHANGE, "new\r\n"), "the new body")
check(mt.eom_check(conn, MT_QUARANTINE, "held"), "the quarantine")

envelope("second")
content("refuse me")
replied(SMFIR_REPLYCODE, "EOM")
check(mt.eom_check(conn, MT_SMTPREPLY, "554", "5.7.9", "50%% no"), "the reply")
check(not mt.eom_check(conn, MT_HDRADD), "nothing added")

envelope("third")
must(mt.abort(conn), "abort")
envelope("fourth")
mt.disconnect(conn)
