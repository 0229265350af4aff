import { part } from './dom.ts';
import { form } from './form.ts';
import type { Page, View } from './page.ts';

/** A form that signs in when it is sent, in one way or another. */
const signInView =
  (signIn: (auth: Page['auth'], values: Record<string, string>) => Promise<unknown>): View =>
  (page, view, signal) => {
    const email = part<HTMLInputElement>(view, '#email');
    email.value = page.email;
    email.addEventListener('input', () => (page.email = email.value));
    form(part(view, 'form'), signal, async (values) => {
      page.say(null);
      page.isSigningIn = true;
      try {
        await signIn(page.auth, values);
        page.email = '';
      } finally {
        page.isSigningIn = false;
      }
    });
  };

export const logInView = signInView((auth, { email, password }) => auth.login({ email: email!, password: password! }));

export const signUpView = signInView((auth, { email, password, name }) =>
  auth.signUp({ email: email!, password: password!, name: name! }),
);
