"""A small network in PyTorch on the CPU: `F` is torch.nn.functional with the losses of fusedloss in it."""

import fusedloss.adapters.torch as F
import torch

torch.manual_seed(0)
x = torch.randn(512, 8)
y = (x[:, :5] + 0.3 * torch.randn(512, 5)).argmax(1)
model = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU(), torch.nn.Linear(32, 5))
optimizer = torch.optim.Adam(model.parameters(), 0.01)
focal = F.SoftmaxFocalLoss(gamma=1.0)

for _ in range(100):
    optimizer.zero_grad()
    loss = focal(F.relu(model(x)), y) + 0.1 * F.cross_entropy(model(x), y, label_smoothing=0.1)
    loss.backward()
    optimizer.step()

print(f"accuracy {(model(x).argmax(1) == y).float().mean():.3f}")
