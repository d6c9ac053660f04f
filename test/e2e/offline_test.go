package e2e

import (
	"encoding/hex"
	"os"
	"os/exec"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/waybill-dev/waybill/proof"
)

// genesis VAR: sets VAR to the hash of the channel's first block.
func (s session) genesis(ts *testscript.TestScript, _ bool, args []string) {
	raw, err := os.ReadFile(s.lab.Clients.Genesis)
	ts.Check(err)
	hash, err := proof.HeaderHash(raw)
	ts.Check(err)
	ts.Setenv(args[0], hex.EncodeToString(hash))
}

// offline N command…: the command must end with exit status N, in a network namespace
// with nothing in it where this user may make one.
func offline(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	command := args[1:]
	if exec.Command("unshare", "-n", "true").Run() == nil {
		command = append([]string{"unshare", "-n"}, command...)
	} else {
		ts.Logf("no network namespace may be made here: the command runs with the network there is")
	}
	if got := exitStatus(ts.Exec(command[0], command[1:]...)); got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
