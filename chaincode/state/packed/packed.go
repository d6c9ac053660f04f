// Package packed keeps many records under one key.
//
// Fabric's price is per key: every peer reads each for the contract, for its
// key-level policy and for its version, and writes it. So where a transaction adds or
// changes many records they share keys, as they are then: pages, which never change.
// Where it brings few, and where somebody asked for it (Records.Unpacked), a record
// has a key of its own, and that one counts from then on.
//
// The directory finds them. It is a log-structured merge of what names hash to
// (P. O'Neil et al., "The log-structured merge-tree", Acta Informatica 33, 1996):
// its head holds the newest entries and a list of runs, which are sorted, parted
// into chunks, and never change; runs of a size are merged into a larger one
// (size-tiered compaction), a bounded part of it in each transaction. So what a
// record costs does not follow from how many there are: it is written once for each
// size of run, and a lookup reads a chunk of each run.
//
// Nothing of it is taken from the caller. A name whose fingerprint is in no run was
// never recorded; one whose fingerprint is there is looked for in the page, by its
// whole name, so that two names with one fingerprint are two names still. An entry
// for a record that changed names the place of the version before, exactly, and
// takes its place when both are merged.
//
// What adds a record writes the head, so a transaction that reads it loses to
// every such in its block. It need not: Get looks for the key of its own first, and a
// transaction that writes can give one to what Get found in a page
// (Records.Unpacked), for the transactions that follow.
package packed

// Reader reads committed state.
type Reader interface {
	// Get returns the values of keys in order, nil for a key that is absent.
	Get(keys ...string) ([][]byte, error)
}

// Entry is a key and its value; a nil value removes the key.
type Entry struct {
	Key   string
	Value []byte
	// Changed, of a record that came out of a page (Unpack): it had an earlier version.
	Changed bool
}
