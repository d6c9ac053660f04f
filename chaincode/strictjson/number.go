package strictjson

import (
	"bytes"
	"strconv"
)

const (
	mostDigits  = 16 // of MaxInteger
	maxNumeral  = 40 // characters of a number that is no integer
	maxExponent = 99
)

// number reads a number, which is literal where it has a fraction or an
// exponent, and n where it has neither.
func (r *Reader) number() (n int64, literal string, err error) {
	start := r.at
	negative := r.peek() == '-'
	if negative {
		r.at++
	}
	whole := r.digits()
	if len(whole) == 0 || len(whole) > 1 && whole[0] == '0' {
		return 0, "", r.badNumber(start)
	}
	if c := r.peek(); c != '.' && c != 'e' && c != 'E' {
		n, ok := integer(whole)
		if !ok || n == 0 && negative {
			if text := r.in[start:r.at]; r.limits.AnyNumbers && len(text) <= maxNumeral {
				return 0, string(text), nil
			}
			return 0, "", r.outOfRange(start)
		}
		if negative {
			n = -n
		}
		return n, "", nil
	}
	var fraction []byte
	if r.peek() == '.' {
		r.at++
		if fraction = r.digits(); len(fraction) == 0 {
			return 0, "", r.badNumber(start)
		}
	}
	exponent, ok := r.exponent()
	if !ok {
		return 0, "", r.badNumber(start)
	}
	text := r.in[start:r.at]
	if len(text) > maxNumeral || exponent < -maxExponent || exponent > maxExponent {
		return 0, "", r.outOfRange(start)
	}
	if r.limits.AnyNumbers {
		return 0, string(text), nil
	}
	digits := append(bytes.Clone(whole), fraction...)
	if zero := len(bytes.Trim(digits, "0")) == 0; zero && negative || !zero && !within(digits, len(whole)+exponent) {
		return 0, "", r.outOfRange(start)
	}
	return 0, string(text), nil
}

// exponent reads an exponent where there is one; 1000 stands for one beyond
// all bounds.
func (r *Reader) exponent() (n int, ok bool) {
	if c := r.peek(); c != 'e' && c != 'E' {
		return 0, true
	}
	r.at++
	sign := 1
	switch r.peek() {
	case '-':
		sign = -1
		r.at++
	case '+':
		r.at++
	}
	digits := r.digits()
	if len(digits) == 0 {
		return 0, false
	}
	if n = 1000; len(digits) <= 3 {
		n, _ = strconv.Atoi(string(digits))
	}
	return sign * n, true
}

// within tells whether a number is within MaxInteger but for its fraction: all
// its digits, the point standing behind the first so many.
func within(digits []byte, point int) bool {
	significant := bytes.TrimLeft(digits, "0")
	point -= len(digits) - len(significant)
	if point <= 0 || point > mostDigits {
		return point <= 0
	}
	before := append([]byte(nil), significant[:min(point, len(significant))]...)
	_, ok := integer(append(before, bytes.Repeat([]byte("0"), point-len(before))...))
	return ok
}

// integer reads digits, and tells whether they are within MaxInteger.
func integer(digits []byte) (n int64, ok bool) {
	if len(digits) > mostDigits {
		return 0, false
	}
	for _, c := range digits {
		n = 10*n + int64(c-'0')
	}
	return n, n <= MaxInteger
}

func (r *Reader) badNumber(start int) error {
	r.at = start
	return r.errorf("malformed number")
}

func (r *Reader) outOfRange(start int) error {
	r.at = start
	return r.errorf("number out of range: integers are at most %d", int64(MaxInteger))
}

// digits reads digits, none or more.
func (r *Reader) digits() []byte {
	from := r.at
	for r.at < len(r.in) && isDigit(r.in[r.at]) {
		r.at++
	}
	return r.in[from:r.at]
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
