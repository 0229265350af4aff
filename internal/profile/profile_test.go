package profile_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"latchkey/internal/input"
	"latchkey/internal/profile"
	"latchkey/internal/user"
)

// fakeStore has one user.
type fakeStore struct {
	ada   user.User
	err   error
	calls int
}

func (f *fakeStore) RenameUser(_ context.Context, id uuid.UUID, name string) (user.User, error) {
	f.calls++
	if f.err != nil || id != f.ada.ID {
		return user.User{}, errors.Join(f.err, user.ErrNotFound)
	}
	f.ada.Name = name
	return f.ada, nil
}

func newStore() *fakeStore {
	return &fakeStore{ada: user.User{ID: uuid.New(), Email: "ada@example.com", Name: "Ada"}}
}

func TestUpdate(t *testing.T) {
	for reason, test := range map[string]struct{ typed, want string }{
		"another name":                            {"Ada Lovelace", "Ada Lovelace"},
		"spaces around it come from copying":      {"  Ada Lovelace\n", "Ada Lovelace"},
		"a decomposed letter is the same letter":  {"Ade\u0301", "Ad\u00e9"},
		"an empty name means none":                {"", ""},
		"a blank name means none":                 {" \t\u3000", ""},
		"as long as it may be":                    {strings.Repeat("é", user.MaxNameCodePoints), strings.Repeat("é", user.MaxNameCodePoints)},
		"the present name is no mistake":          {"Ada", "Ada"},
		"markup is a name like any other":         {"<b>Ada</b>", "<b>Ada</b>"},
		"an emoji that needs a joiner keeps that": {"👩\u200d💻", "👩\u200d💻"},
	} {
		t.Run(reason, func(t *testing.T) {
			store := newStore()
			got, err := profile.New(store).Update(t.Context(), store.ada.ID, test.typed)
			if err != nil || got.Name != test.want || got.Email != store.ada.Email || store.ada.Name != test.want {
				t.Errorf("%+v, %v; stored %q", got, err, store.ada.Name)
			}
		})
	}
}

func TestUpdateRefuses(t *testing.T) {
	for reason, test := range map[string]struct{ typed, message string }{
		"a name too long":              {strings.Repeat("é", user.MaxNameCodePoints+1), "The name is too long."},
		"a megabyte":                   {strings.Repeat("a", 1<<20), "The name is too long."},
		"a line break":                 {"Ada\nLovelace", "The name contains a character that is not allowed."},
		"a control character":          {"Ada\x00", "The name contains a character that is not allowed."},
		"text that runs the wrong way": {"Ada\u202e", "The name contains a character that is not allowed."},
		"what cannot be seen":          {"\u200d", "The name contains a character that is not allowed."},
		"no UTF-8":                     {"Ada\xff", "The name contains a character that is not allowed."},
	} {
		t.Run(reason, func(t *testing.T) {
			store := newStore()
			got, err := profile.New(store).Update(t.Context(), store.ada.ID, test.typed)
			want := []input.Mistake{{Field: "name", Code: input.Invalid, Message: test.message}}
			var mistakes *input.Error
			if !errors.As(err, &mistakes) || !reflect.DeepEqual(mistakes.Mistakes, want) || !reflect.ValueOf(got).IsZero() {
				t.Errorf("%+v, %v", got, err)
			}
			if store.calls != 0 || store.ada.Name != "Ada" {
				t.Errorf("the store was asked %d times, and has %q", store.calls, store.ada.Name)
			}
		})
	}
}

func TestUpdateFails(t *testing.T) {
	store, down := newStore(), errors.New("the database is down")
	if got, err := profile.New(store).Update(t.Context(), uuid.New(), "Eve"); !errors.Is(err, user.ErrNotFound) || got.Name != "" || store.ada.Name != "Ada" {
		t.Errorf("nobody's id: %+v, %v", got, err)
	}
	store.err = down
	if got, err := profile.New(store).Update(t.Context(), store.ada.ID, "Eve"); !errors.Is(err, down) || got.Name != "" {
		t.Errorf("an outage: %+v, %v", got, err)
	}
}
