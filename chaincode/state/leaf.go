package state

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a leaf: looking one record up reads it whole.
const (
	leafRecords = 64
	leafBytes   = 16 << 10
)

// leafID names a leaf within its repository.
type leafID [8]byte

// nameLeaf names the i-th leaf of a segment and repository. 64 bits of a hash:
// two leaves of a repository with one name would take some 2^32 of them, made
// on purpose by the registry's owner, who would lose its own records.
func nameLeaf(unique string, i int) leafID {
	sum := sha256.Sum256([]byte(strconv.Itoa(i) + " " + unique))
	return leafID(sum[:8])
}

// leaf holds records of pushes, encoded as under keys of their own.
type leaf map[member][]byte

// record is a member on its way into a leaf.
type record struct {
	name
	value []byte
}

// intoLeaves parts records by their marks, so that those of a bucket are in few leaves.
func intoLeaves(records []record) [][]record {
	slices.SortFunc(records, func(a, b record) int {
		return cmp.Or(cmp.Compare(a.mark, b.mark), cmp.Compare(a.kind, b.kind), cmp.Compare(a.text, b.text))
	})
	var leaves [][]record
	bytes := 0
	for i, r := range records {
		if i == 0 || len(leaves[len(leaves)-1]) == leafRecords || bytes+len(r.value) > leafBytes {
			leaves, bytes = append(leaves, nil), 0
		}
		leaves[len(leaves)-1] = append(leaves[len(leaves)-1], r)
		bytes += len(r.value)
	}
	return leaves
}

// encodeLeaf writes the version, the number of records, and per record its
// kind, name and value, the last two with their length as a varint before them.
func encodeLeaf(records []record) []byte {
	b := binary.AppendUvarint([]byte{compactVersion}, uint64(len(records)))
	for _, r := range records {
		b = appendText(append(b, r.kind), r.text)
		b = append(binary.AppendUvarint(b, uint64(len(r.value))), r.value...)
	}
	return b
}

func decodeLeaf(b []byte) (leaf, error) {
	d := reader{rest: b}
	d.version()
	n := d.count(leafRecords)
	l := make(leaf, n)
	for ; n > 0 && !d.bad; n-- {
		m := member{kind: d.byte(), text: d.text()}
		switch m.kind {
		case kindPlace: // a bare hash
		case kindTag, kindParents:
			d.bad = d.bad || strings.ContainsRune(m.text, 0) // it is part of a key
		default:
			d.bad = true
		}
		l[m] = []byte(d.text())
	}
	return l, d.end("leaf")
}
