// Package intake shows, with real registries, that no event holds up the next:
// whatever whoever may push and delete does, the push behind it is on disk. A
// ledger has no part in it.
package intake
