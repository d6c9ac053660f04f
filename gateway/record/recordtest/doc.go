// Package recordtest holds a recorder on a real queue and a ledger in memory,
// which a test can run, crash and run again.
package recordtest
