package tutti

import (
	"context"
	"slices"
	"sync"
)

// Namespace is the set of variables that an engine keeps between tasks: what a direct view pushed
// or scattered. Safe for concurrent use.
type Namespace struct {
	mu   sync.Mutex
	vars map[string]*variable
}

// variable is a value in its encoded form, as it came, in its decoded form, once a function has
// asked for it, or in both.
type variable struct {
	encoded Value
	decoded any
	release func()
}

// NewNamespace makes an empty one.
func NewNamespace() *Namespace { return &Namespace{vars: map[string]*variable{}} }

// Put stores an encoded value. release, which may be nil, is called when v's bytes are no longer
// needed: when the variable is replaced or deleted.
func (n *Namespace) Put(name string, v Value, release func()) {
	n.swap(name, &variable{encoded: v, release: release})
}

// Delete removes variables; names that are not there do not matter. Without names it removes all.
func (n *Namespace) Delete(names ...string) {
	if len(names) == 0 {
		names = n.Names()
	}
	for _, name := range names {
		n.swap(name, nil)
	}
}

func (n *Namespace) swap(name string, v *variable) {
	n.mu.Lock()
	old := n.vars[name]
	if v == nil {
		delete(n.vars, name)
	} else {
		n.vars[name] = v
	}
	n.mu.Unlock()
	if old != nil && old.release != nil {
		old.release()
	}
}

// Names lists the variables in alphabetical order.
func (n *Namespace) Names() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	names := make([]string, 0, len(n.vars))
	for name := range n.vars {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Get gives a variable's encoded form. An unknown name gives an error of kind [NotFound].
func (n *Namespace) Get(name string) (Value, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	v := n.vars[name]
	if v == nil {
		return Value{}, noVariable(name)
	}
	if v.decoded != nil { // a function may have changed it
		return Encode(v.decoded)
	}
	return v.encoded, nil
}

func noVariable(name string) error {
	return Errorf("read variable", NotFound, "this engine has no variable %q", name).
		WithHint("push or scatter it first; an engine that was started again has lost its variables")
}

type namespaceKey struct{}

// WithNamespace gives ctx the variables of an engine.
func WithNamespace(ctx context.Context, n *Namespace) context.Context {
	return context.WithValue(ctx, namespaceKey{}, n)
}

// NamespaceOf finds the variables of the engine that ctx's task runs on, nil outside of one.
func NamespaceOf(ctx context.Context) *Namespace {
	n, _ := ctx.Value(namespaceKey{}).(*Namespace)
	return n
}

// Var reads a variable of the engine that the task runs on: what a direct view pushed or scattered
// under that name, or what [SetVar] kept there. A slice is the engine's own: what a task writes
// into it, the next one finds.
func Var[T any](ctx context.Context, name string) (T, error) {
	var t T
	n := NamespaceOf(ctx)
	if n == nil {
		return t, Errorf("read variable", Unsupported, "variables live on engines, and this is none")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	v := n.vars[name]
	if v == nil {
		return t, noVariable(name)
	}
	if d, ok := v.decoded.(T); ok {
		return d, nil
	}
	encoded := v.encoded
	if v.decoded != nil { // kept under another type
		var err error
		if encoded, err = Encode(v.decoded); err != nil {
			return t, err
		}
	}
	if err := Decode(encoded, &t); err != nil {
		return t, err
	}
	v.decoded = t
	return t, nil
}

// SetVar keeps t on the engine that the task runs on, for later tasks and for Pull.
func SetVar[T any](ctx context.Context, name string, t T) error {
	n := NamespaceOf(ctx)
	if n == nil {
		return Errorf("set variable", Unsupported, "variables live on engines, and this is none")
	}
	n.swap(name, &variable{decoded: t})
	return nil
}
