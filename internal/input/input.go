// Package input reports everything that is wrong with an input at once.
package input

import "strings"

// Code names one kind of mistake, for clients to switch on.
type Code string

// Codes that more than one field can have; a field's owner adds its own.
const (
	Required Code = "REQUIRED"
	Invalid  Code = "INVALID"
)

// Mistake is one wrong field.
type Mistake struct {
	Field   string // as the schema names it
	Code    Code
	Message string // for people; never repeats the value
}

// Error lists the mistakes of one input.
type Error struct{ Mistakes []Mistake }

// Error implements error.
func (e *Error) Error() string {
	fields := make([]string, len(e.Mistakes))
	for i, m := range e.Mistakes {
		fields[i] = m.Field + " " + string(m.Code)
	}
	return "input: " + strings.Join(fields, ", ")
}

// Checklist collects mistakes.
type Checklist struct{ mistakes []Mistake }

// Add notes a mistake.
func (c *Checklist) Add(field string, code Code, message string) {
	c.mistakes = append(c.mistakes, Mistake{Field: field, Code: code, Message: message})
}

// Err returns an *Error with what was added, or nil.
func (c *Checklist) Err() error {
	if len(c.mistakes) == 0 {
		return nil
	}
	return &Error{Mistakes: c.mistakes}
}
