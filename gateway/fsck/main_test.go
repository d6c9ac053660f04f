package fsck

import (
	"os"
	"testing"

	"github.com/waybill-dev/waybill/test/postgres"
)

// server is one PostgreSQL for all tests that want one.
var server postgres.Shared

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }
