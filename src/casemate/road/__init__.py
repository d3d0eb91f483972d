"""The road: nine rooms, crossed in one order by everything that makes code run."""
