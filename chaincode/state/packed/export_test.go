package packed

// Bounds of the directory.
const (
	ChunkEntries = chunkEntries
	LargestChunk = largestChunk
	PackFrom     = packFrom
)

// Runs is how many runs and unfinished merges a directory has that was read, and
// Largest how many entries the largest chunk of them.
func (r *Records) Runs(directory string) (runs, merges, largest int) {
	h := r.directories[directory].head
	all := h.runs
	for _, m := range h.merges {
		all = append(all, m.inputs...)
	}
	for _, x := range all {
		largest = max(largest, int(x.largest))
	}
	return len(h.runs), len(h.merges), largest
}

// Fingerprint is what a directory knows a name by.
func (n Name) Fingerprint() uint32 { return n.fingerprint() }

// RereadHead reads a head and what is written of it.
func RereadHead(b []byte) (read, reread error) {
	var found, again head
	if read = found.decode(b); read != nil {
		return read, nil
	}
	return nil, again.decode(found.encode())
}

// RereadChunk does the same with a chunk.
func RereadChunk(b []byte) (read, reread error) {
	d := Decoder{Rest: b}
	d.Version()
	entries := d.entries()
	if read = d.End("run"); read != nil {
		return read, nil
	}
	again := Decoder{Rest: appendEntries(nil, entries)}
	again.entries()
	return nil, again.End("run")
}
