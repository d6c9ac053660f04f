package queue

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/waybill-dev/waybill/chaincode/provenance"
	"github.com/waybill-dev/waybill/gateway/sqldb"
)

// copyPatience is how long a copy waits for a writer.
const copyPatience = 10 * time.Second

// CopyFile writes a copy of a queue's file as it is at one moment, while a gateway goes on with it. It is WB_CONFLICT if
// there is something at to.
//
// A copy ages: what is recorded after it was made is unknown to it. Whoever puts it back has waybill-gateway fsck
// --repair read the ledger first.
func CopyFile(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return provenance.Errorf(provenance.Conflict, "%s is there already", to)
	}
	db, err := sqldb.OpenFile(from, sqldb.FileOptions{Synchronous: "FULL", BusyTimeout: copyPatience, CacheKiB: 2048, Connections: 1})
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	if err := errors.Join(err, db.Close()); err != nil {
		return sqldb.Wrap(err, "copy %s", from)
	}
	return os.Chmod(to, 0o600)
}
