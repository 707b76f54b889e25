// @ts-check
// Who is asking: a token, or a name and a password.

import { EXACT, field } from '../dialog.js';
import { h, put } from '../dom.js';
import { authorization, signInWithPassword, signInWithToken, signOut } from '../session.js';
import { Problem, call, path } from '../api.js';
import { problem } from '../notice.js';

/**
 * @param {HTMLElement} main
 * @param {() => void} done
 */
export function signInView(main, done) {
  document.title = 'Sign in – Annals';
  const refused = authorization() !== null;
  const token = h('input', { ...EXACT, type: 'password', autocomplete: 'off' });
  const user = h('input', { ...EXACT, autocomplete: 'username' });
  const password = h('input', { type: 'password', autocomplete: 'current-password' });
  const byToken = h('input', { type: 'radio', name: 'how', value: 'token', checked: true, on: { change: adapt } });
  const byPassword = h('input', { type: 'radio', name: 'how', value: 'password', on: { change: adapt } });
  const tokenField = field('Token', token);
  const passwordFields = h('div', { class: 'stack' }, field('Name', user), field('Password', password));
  const problems = h('div');
  function adapt() {
    tokenField.hidden = !byToken.checked;
    passwordFields.hidden = byToken.checked;
  }
  /** @param {SubmitEvent} event */
  async function submit(event) {
    event.preventDefault();
    if (byToken.checked) signInWithToken(token.value.trim());
    else signInWithPassword(user.value, password.value);
    try {
      await call(path('topics'));
      done();
    } catch (error) {
      if (error instanceof Problem && error.status === 403) return done();
      signOut();
      put(problems, problem(error instanceof Problem && error.status === 401
        ? new Problem(401, { ...error.members, detail: 'The server does not know these credentials.' }) : error));
      (byToken.checked ? token : password).focus();
    }
  }
  adapt();
  put(main, h('section', { class: 'panel sign-in', 'aria-labelledby': 'sign-in' },
    h('div', { class: 'panel-head' }, h('h1', { id: 'sign-in', tabindex: '-1' }, 'Sign in')),
    h('form', { class: 'panel-body', novalidate: true, on: { submit } },
      refused ? h('p', { class: 'bad' }, 'The server does not take these credentials any more.') : null,
      h('fieldset', null, h('legend', { class: 'hidden' }, 'How'),
        h('div', { class: 'actions' }, h('label', { class: 'choice' }, byToken, 'Token'), h('label', { class: 'choice' }, byPassword, 'Name and password'))),
      tokenField, passwordFields, problems,
      h('div', { class: 'actions spread' }, h('button', { type: 'submit', class: 'primary' }, 'Sign in')),
      h('p', { class: 'muted' }, 'Kept in this tab until it is closed.'))));
  token.focus();
}
