// Package packed keeps many records under one key.
//
// Fabric's price is per key: every peer reads each for the contract, for its
// key-level policy and for its version, and writes it. So where a writer adds many
// records to a directory at once, they share keys, as first recorded: pages. A
// record that changes after that gets the key of its own, and that one counts from
// then on; a page never changes. Few records at once have keys of their own from the
// first.
//
// The directory knows all of them: a bucket says of the names that hash into it
// which page they are in, or that they have their own key. It grows by linear
// hashing (W. Litwin, "Linear Hashing: A New Tool for File and Table Addressing",
// VLDB 1980): one bucket at a time is split in two, in a fixed order, so that the
// number of buckets, which the first of them carries, is all that a lookup needs to
// know.
//
// Nothing of it is taken from the caller. A name that is not in its bucket was
// never recorded; one whose fingerprint is there is looked for in the page, by its
// whole name, so that two names with one fingerprint are two names still.
//
// What adds a record changes buckets, so a transaction that reads one loses to
// every such in its block. It need not: Get looks for the key of its own first, and a
// transaction that writes can give one to what Get found in a page
// (Records.Unpacked), for the transactions that follow.
package packed

// Reader reads committed state.
type Reader interface {
	// Get returns the values of keys in order, nil for a key that is absent.
	Get(keys ...string) ([][]byte, error)
}

// Entry is a key and its value.
type Entry struct {
	Key   string
	Value []byte
}
