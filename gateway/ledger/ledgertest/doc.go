// Package ledgertest holds a ledger in memory for tests of the gateway's loops:
// it orders, judges and answers as Fabric and the contract do, and fails where a
// test says so. What needs the real one is in test/e2e and test/faults.
package ledgertest
