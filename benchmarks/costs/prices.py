"""Public list prices of us-east-1 in US dollars, as they stood in early 2025; without free tiers.

To use others, change the numbers here and run ``make cost``.
"""

from __future__ import annotations

from dataclasses import dataclass

GB = 1_000_000_000
HOURS_A_MONTH = 730


@dataclass(frozen=True, slots=True)
class Price:
    """What one unit costs."""

    dollars: float
    per: float
    """How many units that is for."""
    unit: str
    source: str
    """The page of AWS that says so."""

    def of(self, units: float) -> float:
        """What so many units cost."""
        return self.dollars * units / self.per


API_REQUEST = Price(3.50, 1e6, "requests to a REST API", "Amazon API Gateway pricing")
LAMBDA_REQUEST = Price(0.20, 1e6, "invocations", "AWS Lambda Pricing")
LAMBDA_GB_S = Price(0.0000133334, 1, "GB-second, arm64", "AWS Lambda Pricing")
READ_UNIT = Price(0.125, 1e6, "read request units, on demand", "Amazon DynamoDB pricing, on-demand capacity")
WRITE_UNIT = Price(
    0.625, 1e6, "write request units, on demand", "Amazon DynamoDB pricing, on-demand capacity"
)
TABLE_GB_MONTH = Price(0.25, 1, "GB-month in a table", "Amazon DynamoDB pricing, on-demand capacity")
PITR_GB_MONTH = Price(
    0.20, 1, "GB-month of point-in-time recovery", "Amazon DynamoDB pricing, on-demand capacity"
)
LOG_GB = Price(0.50, 1, "GB of logs taken in", "Amazon CloudWatch Pricing")
LOG_GB_MONTH = Price(0.03, 1, "GB-month of logs kept, compressed", "Amazon CloudWatch Pricing")
METRIC_MONTH = Price(0.30, 1, "custom metric a month, of the first 10,000", "Amazon CloudWatch Pricing")
ALARM_MONTH = Price(0.10, 1, "metric in a standard alarm a month", "Amazon CloudWatch Pricing")
DASHBOARD_MONTH = Price(3.00, 1, "dashboard a month", "Amazon CloudWatch Pricing")
TRANSITION = Price(0.025, 1e3, "state transitions, standard workflow", "AWS Step Functions Pricing")
SQS_REQUEST = Price(0.40, 1e6, "requests, standard queue", "Amazon SQS pricing")
SCHEDULED = Price(1.00, 1e6, "invocations of EventBridge Scheduler", "Amazon EventBridge pricing")
SECRET_MONTH = Price(0.40, 1, "secret a month", "AWS Secrets Manager pricing")
SECRET_CALL = Price(0.05, 1e4, "calls of Secrets Manager", "AWS Secrets Manager pricing")
OUT_GB = Price(
    0.09, 1, "GB out to the internet, of the first 10 TB", "Amazon EC2 On-Demand Pricing, data transfer"
)
EVERY = (
    *(API_REQUEST, LAMBDA_REQUEST, LAMBDA_GB_S, READ_UNIT, WRITE_UNIT, TABLE_GB_MONTH, PITR_GB_MONTH, LOG_GB),
    *(LOG_GB_MONTH, METRIC_MONTH, ALARM_MONTH, DASHBOARD_MONTH, TRANSITION, SQS_REQUEST, SCHEDULED),
    *(SECRET_MONTH, SECRET_CALL, OUT_GB),
)
