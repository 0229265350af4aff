import type { AuthClient, SignUpInput } from '../../client/src/auth-client.d.ts';
import { part } from './dom.ts';
import { form } from './form.ts';
import type { View } from './page.ts';

/** A form that signs in when it is sent, in one way or another. */
const signInView =
  (signIn: (auth: AuthClient, values: SignUpInput) => Promise<unknown>): View =>
  (page, view, signal) => {
    const email = part<HTMLInputElement>(view, '#email');
    email.value = page.email;
    email.addEventListener('input', () => (page.email = email.value));
    form(part(view, 'form'), signal, async (values) => {
      page.say(null);
      page.isSigningIn = true;
      try {
        await signIn(page.auth, values as unknown as SignUpInput);
        page.email = '';
      } finally {
        page.isSigningIn = false;
      }
    });
  };

// The names of the fields in index.html are those of the input.
export const logInView = signInView((auth, values) => auth.login(values));
export const signUpView = signInView((auth, values) => auth.signUp(values));
