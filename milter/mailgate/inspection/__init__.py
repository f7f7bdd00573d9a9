"""Looking into mails: at once where that is safe and short, else in worker processes that can be killed."""
