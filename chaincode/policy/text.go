package policy

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/waybill-dev/waybill/chaincode/provenance"
)

// messageOf returns an error's text without its code, to stand in another error.
func messageOf(err error) string {
	var coded *provenance.Error
	if errors.As(err, &coded) && coded.Err == nil {
		return coded.Message
	}
	return err.Error()
}

// invisible tells whether c cannot be seen, or changes how its neighbours look
// (Unicode categories Cc, Cf, Co, Zl, Zp); line ends and tabs are fine.
func invisible(c rune) bool {
	return c != '\n' && c != '\r' && c != '\t' && (unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp))
}

// clip keeps a hostile text out of details and logs: at most n bytes, nothing invisible.
func clip(s string, n int) string {
	s = strings.Map(func(c rune) rune {
		if invisible(c) || c == '\n' || c == '\r' || c == utf8.RuneError {
			return '?'
		}
		return c
	}, s[:min(len(s), n+utf8.UTFMax)])
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
