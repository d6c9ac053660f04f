package readmodel

// Limits of a page.
const (
	DefaultPage = 50
	MaxPage     = 500
)

// Page asks for one page of a list.
type Page struct {
	Token string // of the page before; "" for the first
	// Size is how many entries at most: 0 means DefaultPage, more than MaxPage is Invalid.
	Size        int
	NewestFirst bool
}
