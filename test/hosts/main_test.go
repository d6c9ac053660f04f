package hosts_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"github.com/waybill-dev/waybill/test/hosts"
)

func TestMain(m *testing.M) {
	if ran, err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	} else if ran {
		os.Exit(0)
	}
	hosts.Main(m, prepare)
}

// tcp is a program that knows nothing of Waybill: `tcp serve ADDRESS NAME` answers each line with its name and who
// asked, `tcp ask ADDRESS [COUNT]` asks over one connection and prints the last answer and the mean time it took.
func tcp(args []string) error {
	if args[0] == "serve" {
		l, err := net.Listen("tcp", args[1])
		if err != nil {
			return err
		}
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer func() { _ = c.Close() }() // the other side has what it wants
				for lines := bufio.NewScanner(c); lines.Scan(); {
					if _, err := fmt.Fprintf(c, "%s hears %q of %s\n", args[2], lines.Text(), c.RemoteAddr().(*net.TCPAddr).IP); err != nil {
						return
					}
				}
			}()
		}
	}
	count := 1
	if len(args) > 2 {
		if _, err := fmt.Sscan(args[2], &count); err != nil {
			return err
		}
	}
	c, err := net.DialTimeout("tcp", args[1], 2*time.Second)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // only asked
	answers := bufio.NewReader(c)
	var answer string
	began := time.Now()
	for range count {
		if err := c.SetDeadline(time.Now().Add(3 * time.Second)); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(c, "hello"); err != nil {
			return err
		}
		if answer, err = answers.ReadString('\n'); err != nil {
			return err
		}
	}
	fmt.Printf("%s%d\n", answer, time.Since(began).Microseconds()/int64(count))
	return nil
}
