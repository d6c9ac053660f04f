package evidence

import (
	"encoding/binary"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// Bounds of a batch of evidence: what one transaction is asked to verify at most.
const (
	MaxBatch      = 256     // pieces
	MaxBatchBytes = 8 << 20 // of all of them as they travel
)

// Piece is one piece of evidence of a batch: what evidence:Submit takes as its
// arguments and transient fields.
type Piece struct {
	Host, Repository, Digest string // of the image
	Type                     string // "" takes the one that was signed
	Format                   string
	MSP, Key                 string // who signed it; see evidence:Submit
	Location                 string // of the whole document, or ""
	Private                  bool
	Envelope                 []byte
}

// fields are the texts of a piece, in the order of evidence:Submit's arguments.
func (p *Piece) fields() []*string {
	return []*string{&p.Host, &p.Repository, &p.Digest, &p.Type, &p.Format, &p.MSP, &p.Key, &p.Location}
}

// Size is how many bytes of a batch the piece is.
func (p Piece) Size() int {
	n := 1 + length(len(p.Envelope))
	for _, f := range p.fields() {
		n += length(len(*f))
	}
	return n
}

func length(n int) int {
	return len(binary.AppendUvarint(nil, uint64(n))) + n
}

// EncodeBatch writes pieces as they travel: of each its texts in the order of
// evidence:Submit's arguments and then its envelope, each as its length (uvarint)
// and its bytes, with a byte between them that is 1 where it is private, and else 0.
func EncodeBatch(pieces []Piece) ([]byte, error) {
	size := 0
	for _, p := range pieces {
		size += p.Size()
	}
	if err := checkBatch(len(pieces), size); err != nil {
		return nil, err
	}
	b := make([]byte, 0, size)
	for _, p := range pieces {
		for _, f := range p.fields() {
			b = append(binary.AppendUvarint(b, uint64(len(*f))), *f...)
		}
		private := byte(0)
		if p.Private {
			private = 1
		}
		b = append(b, private)
		b = append(binary.AppendUvarint(b, uint64(len(p.Envelope))), p.Envelope...)
	}
	return b, nil
}

// DecodeBatch reads pieces as EncodeBatch writes them, and no other way. An Invalid
// error refuses all of them: there are too many, they are too large, or they are cut
// off. Their envelopes are parts of b.
func DecodeBatch(b []byte) ([]Piece, error) {
	if err := checkBatch(1, len(b)); err != nil {
		return nil, err
	}
	var pieces []Piece
	for r := (batchReader{rest: b}); len(r.rest) > 0; {
		if len(pieces) == MaxBatch {
			return nil, checkBatch(MaxBatch+1, len(b))
		}
		var p Piece
		for _, f := range p.fields() {
			*f = string(r.field())
		}
		private := r.take(1)
		p.Envelope = r.field()
		if r.bad || private[0] > 1 {
			return nil, invalid("piece %d of a batch is cut off, or no piece", len(pieces)+1)
		}
		p.Private = private[0] == 1
		pieces = append(pieces, p)
	}
	return pieces, nil
}

func checkBatch(pieces, size int) error {
	switch {
	case pieces == 0 || size == 0:
		return provenance.Errorf(provenance.Invalid, "a batch of no evidence")
	case pieces > MaxBatch:
		return provenance.Errorf(provenance.Invalid, "a batch of more than %d pieces of evidence", MaxBatch)
	case size > MaxBatchBytes:
		return provenance.Errorf(provenance.Invalid, "a batch of %d bytes: at most %d", size, MaxBatchBytes)
	}
	return nil
}

// batchReader reads from the front; once something is cut off it is bad, and reads nothing.
type batchReader struct {
	rest []byte
	bad  bool
}

func (r *batchReader) field() []byte {
	n, used := binary.Uvarint(r.rest)
	// A length has one way to be written.
	if used <= 0 || n > uint64(len(r.rest)) || used != len(binary.AppendUvarint(nil, n)) {
		r.bad = true
		return nil
	}
	r.rest = r.rest[used:]
	return r.take(int(n))
}

func (r *batchReader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return make([]byte, 1)
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Outcome says what a piece of a batch came to: it was recorded, or was on the ledger
// already, or it was refused, and then nothing of it was written.
type Outcome struct {
	ID     string `json:"id,omitempty"`
	Type   string `json:"type,omitempty"`
	Known  bool   `json:"known,omitempty"`
	Counts bool   `json:"counts,omitempty"`

	Code    provenance.Code  `json:"code,omitempty"` // of a refusal
	Phase   provenance.Phase `json:"phase,omitempty"`
	Message string           `json:"message,omitempty"`
}

// Err is the refusal, nil where there was none.
func (o Outcome) Err() error {
	if o.Code == "" {
		return nil
	}
	return provenance.ErrorIn(o.Phase, o.Code, "%s", o.Message)
}
