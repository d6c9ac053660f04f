// Package queue is the durable outbox between intake and the ledger: an event
// that was accepted here is neither lost nor recorded twice, whatever process
// or machine dies.
//
// It is one SQLite file (WAL, synchronous=FULL) owned by one process, or a
// schema of a PostgreSQL database shared by several: the replicas of one
// organisation's gateway. In each process all changes go through one writer
// that gathers concurrent callers into one transaction and one fsync (group
// commit); nobody is told "accepted" before that. An item's life:
//
//	Accept -> waiting -> Lease -> Seal (item belongs to a segment) -> Recorded (row deleted, its id stays in seen)
//	                        |-> Release (waiting, due later)
//	                        '-> DeadLetter -> Retry (waiting)
//
// Beside the items it holds the tasks that blocks ask of the gateway (Tasks),
// which replicas share as well.
//
// Leases live in memory: they only keep two workers of one process apart, and
// a restart hands every unsealed item out again. Replicas are kept apart by
// lanes, each of which one of them holds; lanes.go says how and why that is
// safe.
package queue
