package tutti

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
)

// Fn is a function that can be called on engines: it has a name under which every process of the
// same program finds it.
type Fn[A, R any] struct {
	name string
	f    func(context.Context, A) (R, error)
}

// Handler is the untyped form in which an engine calls a function: args are resolved (they hold
// values, no references and no task ids). The result is not yet encoded. A panic comes back as an
// error of kind [Panicked] with its stack.
type Handler func(ctx context.Context, args []Arg) (any, error)

// functions is the program's table, filled while packages are initialised.
var functions = struct {
	sync.RWMutex
	byName map[string]Handler
}{byName: map[string]Handler{}}

// Func gives f a name and makes it callable on engines. Call it in a package-level variable, so
// that the engine's process, which is the same program, has it too; the order of such calls means
// nothing. f may be called many times at once, and may not keep its argument after it returns
// (large ones lie in shared memory that is used again). A second function of the same name is a
// mistake in the program, and panics.
func Func[A, R any](name string, f func(context.Context, A) (R, error)) *Fn[A, R] {
	fn := &Fn[A, R]{name: name, f: f}
	functions.Lock()
	defer functions.Unlock()
	if name == "" || f == nil {
		panic("tutti.Func: a function needs a name and a body")
	}
	if functions.byName[name] != nil {
		panic(fmt.Sprintf("tutti.Func: two functions are named %q", name))
	}
	functions.byName[name] = fn.handle
	return fn
}

// Name is the name given to Func.
func (fn *Fn[A, R]) Name() string { return fn.name }

// Call runs the function here, as a plain call.
func (fn *Fn[A, R]) Call(ctx context.Context, arg A) (R, error) { return fn.f(ctx, arg) }

func (fn *Fn[A, R]) handle(ctx context.Context, args []Arg) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			e := Errorf("call "+fn.name, Panicked, "%v", p)
			e.Stack = string(debug.Stack())
			result, err = nil, e
		}
	}()
	var arg A
	if len(args) != 1 {
		return nil, Errorf("call "+fn.name, Invalid, "a Go function takes one argument, not %d", len(args))
	}
	if err := DecodeArg(args[0], &arg); err != nil {
		return nil, Errorf("call "+fn.name, KindOf(err), "argument: %w", err)
	}
	r, err := fn.f(ctx, arg)
	if err != nil {
		return nil, userError("call "+fn.name, err)
	}
	return r, nil
}

// userError marks what the user's code returned: it keeps the kinds that mean the same on both
// sides, so that a function can say context.Canceled, and is [Failed] otherwise.
func userError(op string, err error) error {
	switch k := KindOf(err); k {
	case Canceled, Timeout, Revoked:
		return E(op, k, err)
	}
	return E(op, Failed, err)
}

// LookupFunc finds a function of this program by name; an unknown one gives an error of kind
// [NotFound] that lists what there is.
func LookupFunc(name string) (Handler, error) {
	functions.RLock()
	defer functions.RUnlock()
	if h := functions.byName[name]; h != nil {
		return h, nil
	}
	var known []string
	for n := range functions.byName {
		if !strings.HasPrefix(n, "tutti.") {
			known = append(known, n)
		}
	}
	slices.Sort(known)
	return nil, Errorf("call "+name, NotFound, "this program has no function of that name").
		WithHint("it has: %s; give functions their names with tutti.Func in package-level variables",
			strings.Join(known, ", "))
}

// DecodeArg reads an argument into *into: a value by [Decode], a list into a slice or a [Pair].
func DecodeArg(a Arg, into any) error {
	if a.Items == nil {
		return Decode(a.Value, into)
	}
	target := reflect.ValueOf(into).Elem()
	switch {
	case target.Kind() == reflect.Slice:
		target.Set(reflect.MakeSlice(target.Type(), len(a.Items), len(a.Items)))
		for i := range a.Items {
			if err := DecodeArg(a.Items[i], target.Index(i).Addr().Interface()); err != nil {
				return err
			}
		}
		return nil
	case target.Kind() == reflect.Struct && target.NumField() == 2 && len(a.Items) == 2 &&
		strings.HasPrefix(target.Type().Name(), "Pair["):
		if err := DecodeArg(a.Items[0], target.Field(0).Addr().Interface()); err != nil {
			return err
		}
		return DecodeArg(a.Items[1], target.Field(1).Addr().Interface())
	}
	return Errorf("decode argument", Invalid, "a list of %d does not fit a %v", len(a.Items), target.Type())
}
