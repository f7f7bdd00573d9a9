"""The wiring: how Mailgate is put into Postfix, which roads go round it, and the commands that close them.

    MX, submission ──smtpd_milters──►┐
    local programs ──non_smtpd_milters──► Mailgate
    what leaves ──default_transport──► egress (smtp) ──► egress (smtpd, its milter) ──content_filter──► outside

The egress hop alone sees the copies that aliases, .forward and *_bcc_maps make. In the place of its smtpd may stand
Mailgate's SMTP door, which hands on to two smtpds of Postfix, one of which holds what it takes:

    what leaves ──default_transport──► mailgate (smtp) ──► SMTP door ──► smtpd ──content_filter──► outside
"""
