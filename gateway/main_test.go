package gateway

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/waybill-dev/waybill/test/postgres"
)

// sharedServer is one PostgreSQL for all tests that want one, each in a schema
// of its own.
var (
	sharedServer postgres.Shared
	schemas      atomic.Int64
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := sharedServer.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}
