package proof

import (
	"fmt"
)

// namespace is what a transaction read and wrote of one chaincode's state.
type namespace struct {
	name    string
	reads   []read
	writes  []write
	ranges  bool // it read ranges of keys too
	private bool // it touched private data, or policies of keys
}

// read is a key that was read. Height is where its value was written; nil where there was none.
type read struct {
	key    string
	height *height
}

// height is a place on the chain.
type height struct{ block, transaction uint64 }

// write is a key that was written.
type write struct {
	key     string
	value   []byte
	deleted bool
}

// parseResults reads a rwset.TxReadWriteSet.
func parseResults(b []byte) ([]namespace, error) {
	f, err := parse("rwset.TxReadWriteSet", b)
	if err != nil {
		return nil, err
	}
	if f.numbers[1] != 0 {
		return nil, fmt.Errorf("results of data model %d: %w", f.numbers[1], errUnknown)
	}
	var list []namespace
	names := map[string]bool{}
	for _, raw := range f.all(2) {
		n, err := parseNamespace(raw)
		if err != nil {
			return nil, err
		}
		if names[n.name] {
			return nil, fmt.Errorf("the results of %q are there twice", n.name)
		}
		names[n.name] = true
		list = append(list, n)
	}
	return list, nil
}

func parseNamespace(b []byte) (n namespace, err error) {
	f, err := parse("rwset.NsReadWriteSet", b)
	if err != nil {
		return n, err
	}
	set, err := parse("kvrwset.KVRWSet", f.one(2))
	if err != nil {
		return n, err
	}
	n = namespace{name: f.text(1), ranges: set.has(2), private: f.has(3) || set.has(4)}
	for _, raw := range set.all(1) {
		r, err := parse("kvrwset.KVRead", raw)
		if err != nil {
			return n, err
		}
		one := read{key: r.text(1)}
		if r.has(2) {
			v, err := parse("kvrwset.Version", r.one(2))
			if err != nil {
				return n, err
			}
			one.height = &height{v.numbers[1], v.numbers[2]}
		}
		n.reads = append(n.reads, one)
	}
	for _, raw := range set.all(3) {
		w, err := parse("kvrwset.KVWrite", raw)
		if err != nil {
			return n, err
		}
		n.writes = append(n.writes, write{key: w.text(1), deleted: w.numbers[2] != 0, value: w.one(3)})
	}
	return n, nil
}
