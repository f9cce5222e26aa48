"""Logistic regression of several classes in JAX, with the loss and its gradient computed outside of XLA."""

import jax
import jax.numpy as jnp
from fusedloss.adapters.jax import cross_entropy

x = jax.random.normal(jax.random.key(0), (500, 8))
y = x[:, :4].argmax(1)


@jax.jit
def step(weight):
    value, grad = jax.value_and_grad(lambda w: cross_entropy(x @ w, y))(weight)
    return value, weight - 2.0 * grad


weight = jnp.zeros((8, 4))
first, weight = step(weight)
for _ in range(50):
    last, weight = step(weight)

print(f"loss from {first:.2f} to {last:.2f}")
