package index

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/readmodel"
)

// Position is a place on the ledger: a record of a transaction of a block.
// Positions never change, so a token stays good while the ledger grows.
type Position struct {
	Block uint64
	Tx    int
	Seq   int
}

// pager is a page as its list reads it.
type pager readmodel.Page

func (p pager) size() int {
	if p.Size == 0 {
		return readmodel.DefaultPage
	}
	return p.Size
}

const tokenBytes = 8 + 4 + 4 + 8

// start checks the page and returns the position it starts after, nil for the first.
func (p pager) start(filter ...string) (*Position, error) {
	if p.Size < 0 || p.Size > readmodel.MaxPage {
		return nil, provenance.Errorf(provenance.Invalid, "page size %d: want 1 to %d, or 0 for %d", p.Size, readmodel.MaxPage, readmodel.DefaultPage)
	}
	if p.Token == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(p.Token)
	if err != nil || len(b) != tokenBytes {
		return nil, provenance.Errorf(provenance.Invalid, "page token: not one of ours; use the token of the page before as it is")
	}
	at := Position{binary.BigEndian.Uint64(b), int(binary.BigEndian.Uint32(b[8:])), int(binary.BigEndian.Uint32(b[12:]))}
	if at.Block > 1<<62 || p.next(at, filter...) != p.Token {
		return nil, provenance.Errorf(provenance.Invalid, "page token: it belongs to another question; ask for all pages with the same filter and order")
	}
	return &at, nil
}

// next makes the token for the page after at. The hash ties it to the question:
// a token of another filter would silently skip entries.
func (p pager) next(at Position, filter ...string) string {
	h := sha256.New()
	for _, f := range filter {
		h.Write([]byte(f + "\x00"))
	}
	if p.NewestFirst {
		h.Write([]byte("newest first"))
	}
	b := binary.BigEndian.AppendUint64(nil, at.Block)
	b = binary.BigEndian.AppendUint32(b, uint32(at.Tx))
	b = binary.BigEndian.AppendUint32(b, uint32(at.Seq))
	return base64.RawURLEncoding.EncodeToString(append(b, h.Sum(nil)[:8]...))
}

// condition is a part of a WHERE clause with its values.
type condition struct {
	text string
	args []any
}

// bounds returns what restricts a query to the entries after from, and its order and limit.
func (p pager) bounds(table string, from *Position) (condition, string) {
	position, after, order := `(`+table+`block, `+table+`tx, `+table+`seq)`, `>`, ``
	if p.NewestFirst {
		after, order = `<`, ` DESC`
	}
	limit := ` ORDER BY ` + table + `block` + order + `, ` + table + `tx` + order + `, ` + table + `seq` + order + ` LIMIT ?`
	if from == nil {
		return condition{text: `1 = 1`}, limit
	}
	return condition{position + ` ` + after + ` (?, ?, ?)`, []any{int64(from.Block), from.Tx, from.Seq}}, limit
}
