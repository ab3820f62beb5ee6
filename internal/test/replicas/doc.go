// Package replicas runs the reference service as several processes around a cluster of brokers
// and PostgreSQL, posts reports, injects faults, and counts what became of the reports that were
// accepted: by the rows of the database, the dead letters and the outboxes.
package replicas
