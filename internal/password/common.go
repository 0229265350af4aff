package password

import (
	_ "embed"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// commonList holds one folded password per line, sorted by bytes, each line
// ended by "\n". See common/README.md.
//
//go:embed common/common.txt
var commonList string

// fold returns the form in which passwords are compared with the list.
func fold(s string) string {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return norm.NFC.String(cases.Fold().String(norm.NFC.String(s)))
		}
	}
	return strings.ToLower(s)
}

// isCommon reports whether the folded password is a line of commonList. It
// halves the text instead of building a map: nothing is allocated and nothing
// happens at start.
func isCommon(folded string) bool {
	low, high := 0, len(commonList) // both at the start of a line or at the end
	for low < high {
		middle := (low + high) / 2
		start := strings.LastIndexByte(commonList[low:middle], '\n') + 1 + low
		end := start + strings.IndexByte(commonList[start:], '\n')
		switch strings.Compare(commonList[start:end], folded) {
		case 0:
			return true
		case -1:
			low = end + 1
		default:
			high = start
		}
	}
	return false
}
