// "Is it you?": the dialog that answers a step-up challenge. The client opens it once for all calls that meet one.

import { $ } from "./dom.js";

// Ask until the password is right or the user gives up; *send* sends it. Whether it is the user.
export function askWho(user, why, send) {
  const dialog = $("step-up");
  const form = $("step-up-form");
  const field = form.elements.password;
  $("step-up-user").textContent = form.elements.username.value = user; // the hidden field tells password managers whose it is
  $("step-up-why").textContent = why;
  $("step-up-problem").textContent = "";
  field.value = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    let confirmed = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const problem = await send(field.value);
      $("step-up-problem").textContent = problem ?? "";
      confirmed = !problem;
      if (confirmed) dialog.close();
      else field.select();
    };
    $("step-up-cancel").onclick = () => dialog.close();
    dialog.onclose = () => resolve(confirmed); // also by Escape
  });
}
