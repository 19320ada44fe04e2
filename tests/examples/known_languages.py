"""The examples that show another language."""

from known import Known, Need

NODE = Need("node", "nodejs")
PERL = Need("perl -MHTTP::Daemon -MJSON::PP -e 1", "libhttp-daemon-perl")
PHP = Need("php", "php-cli")
RUBY = Need("ruby -rwebrick -e 1", "ruby-webrick")

BANNER = "This mail comes from outside. Think before you open or answer it.\r\n\r\n"

KNOWN: dict[str, Known] = {
    "banner.php": Known(
        {
            "changes": [
                {
                    "op": "replace_body",
                    "text": BANNER + "Hello Bob,\r\n\r\nshall we have lunch on Friday?\r\n\r\nAnn\r\n",
                }
            ]
        },
        needs=(PHP,),
    ),
    "block_list.pl": Known(
        {
            "action": "reject",
            "reply": {"code": 554, "enhanced": "5.7.1", "text": "You are on our block list: write to postmaster"},
            "annotations": {"listed": "offers@bulk.example"},
        },
        needs=(PERL,),
    ),
    "rate_limit.rb": Known({"annotations": {"recipients_this_hour": 1}}, needs=(RUBY,)),
    "safe_tag.mjs": Known(
        {"changes": [{"op": "set_header", "name": "X-External-Sender", "value": "yes"}]}, needs=(NODE,)
    ),
    "sender_login.py": Known(
        {"action": "reject", "reply": {"code": 553, "enhanced": "5.7.1", "text": "This address is not yours"}}
    ),
}
