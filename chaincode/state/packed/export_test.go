package packed

// PackFrom is packFrom.
const PackFrom = packFrom

// Buckets is how many buckets a directory has that was read.
func (r *Records) Buckets(directory string) uint64 { return r.directories[directory].count() }

// Address is the bucket of a name among count.
func (n Name) Address(count uint64) uint64 { return address(n.fingerprint(), count) }

// Fingerprint is what a bucket knows a name by.
func (n Name) Fingerprint() uint64 { return n.fingerprint() }

// RereadBucket reads a bucket and what is written of it.
func RereadBucket(b []byte) (read, reread error) {
	var found, again bucket
	if read = found.decode(b); read != nil {
		return read, nil
	}
	return nil, again.decode(found.encode())
}
