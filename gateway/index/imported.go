package index

import (
	"bytes"

	"github.com/waybill-dev/waybill/gateway/block"
)

// importFunction writes the state of a channel before. Who followed that one holds what it writes, with its history.
const importFunction = "genesis:Import"

// unknown returns a transaction without the writes that the index holds already.
func (w *writer) unknown(t preparedTx) (preparedTx, error) {
	keys := make([]string, len(t.Writes))
	for i, write := range t.Writes {
		keys[i] = write.Key
	}
	have, err := sessionReader{w.session.keys}.Get(keys...)
	if err != nil {
		return t, err
	}
	tx := t.Tx
	tx.Writes, tx.Events = []block.Write{}, nil
	for i, write := range t.Writes {
		if write.Delete || !bytes.Equal(have[i], write.Value) {
			tx.Writes = append(tx.Writes, write)
		}
	}
	return prepareTx(tx)
}
