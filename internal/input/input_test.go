package input_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"latchkey/internal/input"
)

func TestChecklist(t *testing.T) {
	tests := map[string]struct {
		add  []input.Mistake
		text string
	}{
		"nothing wrong is no error": {nil, ""},
		"one mistake":               {[]input.Mistake{{"email", input.Required, "Enter an email address."}}, "input: email REQUIRED"},
		"all mistakes, in the order of typing": {[]input.Mistake{
			{"email", input.Required, "Enter an email address."},
			{"password", "PASSWORD_TOO_SHORT", "The password needs at least 8 characters."},
			{"name", input.Invalid, "The name is too long."},
		}, "input: email REQUIRED, password PASSWORD_TOO_SHORT, name INVALID"},
		"a field can be wrong twice": {[]input.Mistake{
			{"name", input.Required, "a"}, {"name", input.Invalid, "b"},
		}, "input: name REQUIRED, name INVALID"},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			var list input.Checklist
			for _, m := range tt.add {
				list.Add(m.Field, m.Code, m.Message)
			}
			err := list.Err()
			if tt.add == nil {
				if err != nil { // nor a nil *Error in an interface
					t.Errorf("%#v, want nil", err)
				}
				return
			}
			var found *input.Error
			if !errors.As(fmt.Errorf("wrapped: %w", err), &found) || !slices.Equal(found.Mistakes, tt.add) {
				t.Fatalf("%#v, want %v", err, tt.add)
			}
			if err.Error() != tt.text {
				t.Errorf("%q, want %q: a log is told fields and codes alone (R-108)", err, tt.text)
			}
		})
	}
}

// An error that was returned says the same for ever.
func TestErrorIsOfItsTime(t *testing.T) {
	var list input.Checklist
	list.Add("email", input.Required, "")
	err := list.Err()
	list.Add("password", input.Required, "")
	if err.Error() != "input: email REQUIRED" || list.Err().Error() != "input: email REQUIRED, password REQUIRED" {
		t.Errorf("%q, then %q", err, list.Err())
	}
}
