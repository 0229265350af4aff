package user

import (
	"errors"
	"testing"
	"time"
)

func TestParseRole(t *testing.T) {
	tests := map[string]struct {
		in   string
		want Role
		err  error
	}{
		"a user is spelled as in the schema":              {"USER", RoleUser, nil},
		"an admin is spelled as in the schema":            {"ADMIN", RoleAdmin, nil},
		"lower case is another spelling and so no role":   {"admin", "", ErrUnknownRole},
		"nothing is no role, so that zero grants nothing": {"", "", ErrUnknownRole},
		"spaces are not forgiven":                         {" USER", "", ErrUnknownRole},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			got, err := ParseRole(tt.in)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Fatalf("ParseRole(%q) = %q, %v; want %q, %v", tt.in, got, err, tt.want, tt.err)
			}
		})
	}
}

func TestHasRole(t *testing.T) {
	admin := User{Roles: []Role{RoleUser, RoleAdmin}}
	tests := map[string]struct {
		user User
		role Role
		want bool
	}{
		"a role that is listed is held":                   {admin, RoleAdmin, true},
		"a role that is not listed is not held":           {User{Roles: []Role{RoleUser}}, RoleAdmin, false},
		"the zero user holds nothing":                     {User{}, RoleUser, false},
		"the zero role is held by nobody, even if listed": {User{Roles: []Role{""}}, "", false},
	}
	for reason, tt := range tests {
		t.Run(reason, func(t *testing.T) {
			if got := tt.user.HasRole(tt.role); got != tt.want {
				t.Fatalf("HasRole(%q) = %v, want %v", tt.role, got, tt.want)
			}
		})
	}
}

func TestDisabled(t *testing.T) {
	if (User{}).Disabled() {
		t.Error("a user without an instant of disabling is enabled")
	}
	if !(User{DisabledAt: time.Unix(1, 0)}).Disabled() {
		t.Error("a user with an instant of disabling is disabled")
	}
}
