"""What operators of SOR look at: dashboards, runbooks, and what draws and tries them here."""
