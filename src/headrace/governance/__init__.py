"""Who may do what with which data: accounts, secrets, labels, policies, consent."""
